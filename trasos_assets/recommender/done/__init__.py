"""What a candidate is judged by, and by which rules; ``recommender.definition_of_done`` lists them."""

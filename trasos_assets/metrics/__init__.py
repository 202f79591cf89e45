"""Pure definitions of the business metrics: Ibis tables in, Ibis tables out, no Dagster."""

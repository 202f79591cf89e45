(() => {
  "use strict";
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const drawn = [];
  for (const [id, figure] of Object.entries(figures)) {
    const place = document.getElementById(id);
    if (!window.Plotly) {
      place.classList.add("undrawn");
      place.textContent = "This chart needs plotly.min.js in the folder of this page. The data table holds its numbers.";
      continue;
    }
    Plotly.newPlot(place, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    drawn.push(place);
  }
  // Paper has another width than the window.
  const resize = () => drawn.forEach((place) => Plotly.Plots.resize(place));
  window.addEventListener("beforeprint", resize);
  window.addEventListener("afterprint", resize);
})();

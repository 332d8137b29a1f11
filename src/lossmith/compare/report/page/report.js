"use strict";
const { figures, config } = JSON.parse(document.getElementById("figure-data").textContent);
const places = document.querySelectorAll("[data-figure]");
for (const place of places) {
  const figure = figures[place.dataset.figure];
  Plotly.newPlot(place, figure.data, figure.layout, config);
}
// A closed <details> has no width; give its figures theirs when it opens.
for (const details of document.querySelectorAll("details")) {
  details.addEventListener("toggle", () => {
    for (const place of details.querySelectorAll("[data-figure]")) Plotly.Plots.resize(place);
  });
}
// Paper is narrower than most screens, and no resize event tells so.
const PAPER = 640;
addEventListener("beforeprint", () => {
  for (const place of places) {
    Plotly.relayout(place, { width: Math.min(PAPER * (place.closest(".small") ? 0.46 : 1), place.clientWidth) });
  }
});
addEventListener("afterprint", () => {
  for (const place of places) Plotly.relayout(place, { width: null, autosize: true });
});

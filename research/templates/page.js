"use strict";
(function () {
  const data = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const drawn = new Set();
  const button = document.getElementById("theme");
  let theme = dark.matches ? "dark" : "light";

  function draw(name) {
    if (drawn.has(name)) return;
    drawn.add(name);
    const figure = data.figures[name];
    Plotly.newPlot("chart-" + name, figure.data, Object.assign({}, figure.layout, { template: data.templates[theme] }),
      Object.assign({ toImageButtonOptions: { filename: data.file + "-" + name, scale: 2 } }, config));
  }

  function setTheme(next) {
    theme = next;
    root.dataset.theme = next;
    button.textContent = next === "dark" ? "Light" : "Dark";
    for (const name of drawn) Plotly.relayout("chart-" + name, { template: data.templates[next] });
  }

  button.hidden = false;
  button.addEventListener("click", () => setTheme(theme === "dark" ? "light" : "dark"));
  dark.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));
  setTheme(theme);

  // Charts are drawn one after the other, so that the page answers meanwhile.
  const waiting = Object.keys(data.figures);
  (function next() {
    if (!waiting.length) { root.dataset.ready = "true"; return; }
    draw(waiting.shift());
    setTimeout(next, 0);
  })();

  let before = theme;
  window.addEventListener("beforeprint", () => {
    before = theme;
    waiting.splice(0).forEach(draw);
    setTheme("light");
    document.querySelectorAll(".chart").forEach((chart) => Plotly.Plots.resize(chart));
  });
  window.addEventListener("afterprint", () => setTheme(before));
})();

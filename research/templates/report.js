"use strict";
(function () {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const drawn = new Set();
  let theme = dark.matches ? "dark" : "light";

  function draw(name) {
    if (drawn.has(name)) return;
    const figure = data.figures[name];
    drawn.add(name);
    for (const trace of figure.data) if (typeof trace.x === "number") trace.x = data.shared[trace.x];
    Plotly.newPlot("chart-" + name, figure.data, Object.assign({}, figure.layout, { template: data.templates[theme] }),
      Object.assign({ toImageButtonOptions: { filename: data.file + "-" + name, scale: 2 } }, config));
  }

  function setTheme(next) {
    theme = next;
    root.dataset.theme = next;
    button.textContent = next === "dark" ? "Light" : "Dark";
    for (const name of drawn) Plotly.relayout("chart-" + name, { template: data.templates[next] });
  }

  const button = document.getElementById("theme");
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

  const page = 50;
  const table = document.getElementById("trade-table");
  if (!table) return;
  const heads = Array.from(table.tHead.rows[0].cells);
  const left = heads.map((head) => head.classList.contains("text"));
  const tones = new Set(data.toned);
  let rows = data.trades, first = 0, sorted = -1, ascending = true;

  const asNumber = (text) => { const value = parseFloat(text.replace(/[,\s]/g, "").replace("−", "-")); return isNaN(value) ? -Infinity : value; };

  function show() {
    const body = document.createElement("tbody");
    for (const row of rows.slice(first, first + page)) {
      const line = body.insertRow();
      row.forEach((cell, i) => {
        const place = line.insertCell();
        place.className = left[i] ? "text" : "number";
        if (tones.has(i)) place.classList.add(asNumber(cell) > 0 ? "gain" : "loss");
        place.textContent = cell;
      });
    }
    if (!rows.length) { const cell = body.insertRow().insertCell(); cell.colSpan = heads.length; cell.className = "text none"; cell.textContent = data.trades.length ? "No trade matches." : "No closed trade."; }
    table.replaceChild(body, table.tBodies[0]);
    const last = Math.min(first + page, rows.length);
    document.getElementById("trade-count").textContent = rows.length ? (first + 1) + "–" + last + " of " + rows.length.toLocaleString("en") : "";
    document.getElementById("trade-previous").disabled = first === 0;
    document.getElementById("trade-next").disabled = last >= rows.length;
  }

  function arrange() {
    const words = document.getElementById("trade-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    rows = data.trades.filter((row) => { const text = row.join(" ").toLowerCase(); return words.every((word) => text.includes(word)); });
    if (sorted >= 0) {
      const sign = ascending ? 1 : -1;
      rows = rows.slice().sort(left[sorted]
        ? (a, b) => sign * (a[sorted] < b[sorted] ? -1 : a[sorted] > b[sorted] ? 1 : 0)
        : (a, b) => sign * (asNumber(a[sorted]) - asNumber(b[sorted]) || 0));
    }
    first = 0;
    show();
  }

  function sortBy(i) {
    ascending = sorted === i ? !ascending : left[i];
    sorted = i;
    heads.forEach((head, k) => k === i ? head.setAttribute("aria-sort", ascending ? "ascending" : "descending") : head.removeAttribute("aria-sort"));
    arrange();
  }

  heads.forEach((head, i) => {
    head.addEventListener("click", () => sortBy(i));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sortBy(i); });
  });
  document.getElementById("trade-search").addEventListener("input", arrange);
  document.getElementById("trade-previous").addEventListener("click", () => { first -= page; show(); });
  document.getElementById("trade-next").addEventListener("click", () => { first += page; show(); });
  show();
})();

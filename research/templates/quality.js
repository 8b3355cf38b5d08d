"use strict";
(function () {
  const data = JSON.parse(document.getElementById("quality-data").textContent);
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

  const page = 50;
  const ranks = { info: 0, warning: 1, error: 2 };
  const table = document.getElementById("finding-table");
  const heads = Array.from(table.tHead.rows[0].cells);
  const left = heads.map((head) => head.classList.contains("text"));
  const search = document.getElementById("search");
  const severity = document.getElementById("severity");
  const check = document.getElementById("check");
  let rows = data.rows, first = 0, sorted = -1, ascending = true;

  for (const name of Array.from(new Set(data.rows.map((row) => row[2]))).sort()) check.add(new Option(name, name));
  // What matters comes first where there is any.
  if (data.rows.some((row) => ranks[row[0]] > 0)) severity.value = "warning";

  const asNumber = (text) => { const value = parseFloat(text.replace(/,/g, "")); return isNaN(value) ? -Infinity : value; };

  function show() {
    const body = document.createElement("tbody");
    for (const row of rows.slice(first, first + page)) {
      const line = body.insertRow();
      row.forEach((cell, i) => {
        const place = line.insertCell();
        place.className = left[i] ? "text" : "number";
        if (i === 0) place.classList.add(cell);
        place.textContent = cell;
      });
    }
    if (!rows.length) { const cell = body.insertRow().insertCell(); cell.colSpan = heads.length; cell.className = "text none"; cell.textContent = data.rows.length ? "No finding matches." : "Nothing was found."; }
    table.replaceChild(body, table.tBodies[0]);
    const last = Math.min(first + page, rows.length);
    document.getElementById("count").textContent = rows.length ? (first + 1) + "–" + last + " of " + rows.length.toLocaleString("en") : "";
    document.getElementById("previous").disabled = first === 0;
    document.getElementById("next").disabled = last >= rows.length;
  }

  function arrange() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const least = severity.value ? ranks[severity.value] : 0;
    rows = data.rows.filter((row) => {
      if (ranks[row[0]] < least || (check.value && row[2] !== check.value)) return false;
      const text = row.join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    if (sorted >= 0) {
      const sign = ascending ? 1 : -1;
      const compare = sorted === 0 ? (a, b) => ranks[a[0]] - ranks[b[0]]
        : left[sorted] ? (a, b) => (a[sorted] < b[sorted] ? -1 : a[sorted] > b[sorted] ? 1 : 0)
        : (a, b) => asNumber(a[sorted]) - asNumber(b[sorted]);
      rows.sort((a, b) => sign * compare(a, b));
    }
    first = 0;
    show();
  }

  heads.forEach((head, i) => {
    const sort = () => {
      ascending = sorted === i ? !ascending : left[i];
      sorted = i;
      heads.forEach((other, k) => k === i ? other.setAttribute("aria-sort", ascending ? "ascending" : "descending") : other.removeAttribute("aria-sort"));
      arrange();
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
  for (const [place, event] of [[search, "input"], [severity, "change"], [check, "change"]]) place.addEventListener(event, arrange);
  document.getElementById("previous").addEventListener("click", () => { first -= page; show(); });
  document.getElementById("next").addEventListener("click", () => { first += page; show(); });
  arrange();
})();

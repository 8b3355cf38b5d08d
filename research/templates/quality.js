"use strict";
(function () {
  const data = JSON.parse(document.getElementById("page-data").textContent);
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

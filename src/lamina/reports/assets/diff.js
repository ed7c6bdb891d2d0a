// Filter the rows of the page of an update by name and by state.
"use strict";

(() => {
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const boxes = [...document.querySelectorAll('input[name="state"]')];
  const tables = ["packages", "layers"].map((kind) => ({
    kind,
    rows: [...document.querySelectorAll(`table.${kind} tbody tr`)],
  }));

  function update() {
    const wanted = search.value.trim().toLowerCase();
    const states = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const counts = tables.map(({ kind, rows }) => {
      let shown = 0;
      for (const row of rows) {
        const { states: own, text } = row.dataset;
        row.hidden = !(own.split(" ").some((state) => states.has(state)) && text.includes(wanted));
        if (!row.hidden) shown += 1;
      }
      return `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} ${kind}`;
    });
    count.textContent = counts.join(", ");
  }

  // What stays the same is shown on demand. Without this script, and in a printout of it, everything is shown.
  boxes.find((box) => box.value === "kept").checked = false;
  search.addEventListener("input", update);
  for (const box of boxes) box.addEventListener("change", update);
  update();
})();

// The treemaps: choose a path by pointer or keyboard, and show which paths and layers its change affects.

// Returns a text, or its beginning if it has more characters than there is room for, or nothing.
function shorten(text, room) {
  if (text.length <= room) return text;
  return room < 7 || /^[0-9.]+ /.test(text) ? "" : `${text.slice(0, room - 1)}…`;
}

function openTreemap(svg, model, select, hover) {
  const plan = model.plans[svg.dataset.plan];
  const cells = [...svg.querySelectorAll(".cell")];
  const cellOf = new Map(cells.map((cell) => [cell.dataset.path, cell]));
  const labels = [...svg.querySelectorAll(".label")];
  const rings = { chosen: svg.querySelector(".ring.chosen"), focused: svg.querySelector(".ring.focused") };

  // Draws a ring around a cell, or none. A cell's own border would lie under the borders of its neighbours.
  function drawRing(ring, cell) {
    for (const name of ["x", "y", "width", "height"]) ring.setAttribute(name, cell ? cell.getAttribute(name) : "0");
    ring.classList.toggle("shown", Boolean(cell));
  }

  function moveTo(index) {
    const target = cells[Math.min(Math.max(index, 0), cells.length - 1)];
    moveTabStop(cells, target);
    target.focus();
  }

  function findNextLayer(from, step) {
    let index = from;
    while (cells[index] && cells[index].dataset.layer === cells[from].dataset.layer) index += step;
    if (!cells[index]) return from;
    const layer = cells[index].dataset.layer;
    while (step < 0 && cells[index - 1] && cells[index - 1].dataset.layer === layer) index -= 1;
    return index;
  }

  function onKey(event) {
    const index = cells.indexOf(event.target);
    const moves = {
      ArrowRight: () => moveTo(index + 1),
      ArrowLeft: () => moveTo(index - 1),
      ArrowDown: () => moveTo(findNextLayer(index, 1)),
      ArrowUp: () => moveTo(findNextLayer(index, -1)),
      Home: () => moveTo(0),
      End: () => moveTo(cells.length - 1),
      Enter: () => select(Number(event.target.dataset.path)),
      " ": () => select(Number(event.target.dataset.path)),
    };
    if (index < 0 || !moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }

  function describe(event) {
    const { path, layer } = event.target.dataset;
    if (path === undefined) return hover("");
    const number = Number(path);
    return hover(`${model.names[number]} · ${formatSize(model.sizes[number])} · layer ${Number(layer) + 1} of ${plan.strategy}`);
  }

  // Shortens the texts of labels to the width of their cells. All widths are read before a text is written.
  function fitLabels() {
    const widths = labels.map((label) => cellOf.get(label.dataset.path).getBoundingClientRect().width);
    labels.forEach((label, index) => {
      const number = label.dataset.path;
      const [name, size] = label.children;
      name.textContent = shorten(model.names[number], widths[index] / 7 - 1.4);
      if (size) size.textContent = name.textContent && shorten(formatSize(model.sizes[number]), widths[index] / 6.4 - 1.4);
    });
  }

  svg.addEventListener("click", (event) => {
    if (event.target.dataset.path !== undefined) select(Number(event.target.dataset.path));
  });
  svg.addEventListener("keydown", onKey);
  svg.addEventListener("pointerover", describe);
  // Chromium lets the Tab key stop at an SVG element that listens to this event, so its parent does.
  svg.parentElement.addEventListener("focusin", (event) => {
    describe(event);
    drawRing(rings.focused, event.target.matches(".cell:focus-visible") ? event.target : null);
  });
  svg.parentElement.addEventListener("focusout", () => drawRing(rings.focused, null));
  svg.addEventListener("pointerleave", () => hover(""));
  new ResizeObserver(fitLabels).observe(svg);

  return (state) => {
    const sent = state ? state.sent[svg.dataset.plan].layers : new Set();
    for (const cell of cells) {
      const path = Number(cell.dataset.path);
      const kind = state && state.changed.has(path) ? "changed" : sent.has(Number(cell.dataset.layer)) ? "sent" : "";
      const name = kind ? `cell ${kind}` : "cell";
      const isSelected = Boolean(state) && state.selected === path;
      if (cell.getAttribute("class") !== name) cell.setAttribute("class", name);
      if ((cell.getAttribute("aria-pressed") === "true") !== isSelected) cell.setAttribute("aria-pressed", isSelected);
    }
    for (const label of labels) {
      label.classList.toggle("changed", Boolean(state) && state.changed.has(Number(label.dataset.path)));
    }
    drawRing(rings.chosen, state ? cellOf.get(String(state.selected)) : null);
  };
}

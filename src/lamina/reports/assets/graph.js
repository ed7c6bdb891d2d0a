// The references: a drawing of all of them, and lists of the paths next to the chosen one.

const NEIGHBOURS = 12;
const MARGIN = 16;
// A closure of so many paths is drawn with all names; of a larger one, only the chosen path is named.
const NAMED = 25;

function openGraph(model, select) {
  const canvas = document.getElementById("graph");
  const context = canvas.getContext("2d");
  const places = model.names.map(() => [0, 0]);
  const largest = Math.max(...model.sizes, 1);
  const backdrop = document.createElement("canvas");
  let state = null;

  function place(width, height) {
    model.columns.forEach((column, index) => {
      const x = MARGIN + ((index + 0.5) / model.columns.length) * (width - 2 * MARGIN);
      column.forEach((number, row) => {
        places[number] = [x, MARGIN + ((row + 0.5) / column.length) * (height - 2 * MARGIN)];
      });
    });
  }

  function drawLines(target, colour, alpha, isWanted) {
    target.strokeStyle = colour;
    target.globalAlpha = alpha;
    target.beginPath();
    model.references.forEach((references, number) => {
      for (const reference of references) {
        if (!isWanted(number, reference)) continue;
        const [[x, y], [endX, endY]] = [places[reference], places[number]];
        const middle = (x + endX) / 2;
        target.moveTo(x, y);
        target.bezierCurveTo(middle, y, middle, endY, endX, endY);
      }
    });
    target.stroke();
    target.globalAlpha = 1;
  }

  function drawDot(target, number, colour) {
    const radius = 2.2 + 6 * Math.sqrt(model.sizes[number] / largest);
    target.fillStyle = colour;
    target.beginPath();
    target.arc(places[number][0], places[number][1], radius, 0, 2 * Math.PI);
    target.fill();
  }

  function drawName(target, number, colour) {
    const [x, y] = places[number];
    const name = model.names[number];
    target.font = "12px system-ui, sans-serif";
    const half = target.measureText(name).width / 2;
    target.textAlign = "center";
    target.lineWidth = 4;
    target.strokeStyle = readColours().surface;
    const left = Math.min(Math.max(x, half + 2), canvas.clientWidth - half - 2);
    const top = y < 36 ? y + 26 : y - 16;
    target.strokeText(name, left, top);
    target.fillStyle = colour;
    target.fillText(name, left, top);
    target.lineWidth = 1;
  }

  function readColours() {
    const style = getComputedStyle(canvas);
    const read = (name) => style.getPropertyValue(name).trim();
    return { surface: read("--surface"), dot: read("--dot"), accent: read("--accent"), text: read("--text") };
  }

  // Draws what does not depend on the choice once for each size and colour scheme.
  function prepare() {
    const { width, height } = canvas.getBoundingClientRect();
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    for (const item of [canvas, backdrop]) {
      item.width = Math.round(width * scale);
      item.height = Math.round(height * scale);
    }
    context.scale(scale, scale);
    place(width, height);
    const target = backdrop.getContext("2d");
    const colours = readColours();
    target.scale(scale, scale);
    const count = model.references.reduce((sum, references) => sum + references.length, 0);
    drawLines(target, colours.dot, Math.min(0.7, Math.max(0.05, 250 / count)), () => true);
    model.names.forEach((_, number) => drawDot(target, number, colours.dot));
    if (model.names.length <= NAMED) model.names.forEach((_, number) => drawName(target, number, colours.text));
    draw();
  }

  function draw() {
    const { width, height } = canvas.getBoundingClientRect();
    const colours = readColours();
    context.clearRect(0, 0, width, height);
    context.globalAlpha = state ? 0.45 : 1;
    if (backdrop.width) context.drawImage(backdrop, 0, 0, width, height);
    context.globalAlpha = 1;
    if (!state) return;
    const { selected, changed } = state;
    drawLines(context, colours.text, 0.55, (number) => number === selected);
    drawLines(context, colours.accent, 0.5, (number, reference) => changed.has(reference));
    for (const number of model.references[selected]) drawDot(context, number, colours.text);
    for (const number of changed) drawDot(context, number, colours.accent);
    context.strokeStyle = colours.text;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(...places[selected], 11, 0, 2 * Math.PI);
    context.stroke();
    drawName(context, selected, colours.text);
  }

  function findNearest(event) {
    const { left, top } = canvas.getBoundingClientRect();
    let [nearest, least] = [null, 20 ** 2];
    places.forEach(([x, y], number) => {
      const distance = (x - event.clientX + left) ** 2 + (y - event.clientY + top) ** 2;
      if (distance < least) [nearest, least] = [number, distance];
    });
    return nearest;
  }

  canvas.addEventListener("click", (event) => {
    const number = findNearest(event);
    if (number !== null) select(number);
  });
  canvas.addEventListener("pointermove", (event) => {
    const number = findNearest(event);
    canvas.classList.toggle("pointing", number !== null);
    canvas.title = number === null ? "" : `${model.names[number]}, ${formatSize(model.sizes[number])}`;
  });
  new ResizeObserver(prepare).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", prepare);

  const needs = openNeighbours("needs", model, select);
  const neededBy = openNeighbours("needed-by", model, select);
  return (next) => {
    state = next;
    needs(state ? model.references[state.selected] : null);
    neededBy(state ? model.referrers[state.selected] : null);
    draw();
  };
}

function openNeighbours(identifier, model, select) {
  const list = document.getElementById(identifier);
  const more = document.getElementById(`${identifier}-more`);
  let numbers = [];

  function render(limit) {
    const items = numbers.slice(0, limit).map((number) => makePathItem(model, number));
    list.replaceChildren(...items);
    more.hidden = numbers.length <= limit;
    more.textContent = `Show all ${numbers.length.toLocaleString("en")}`;
  }

  list.addEventListener("click", (event) => {
    if (event.target.dataset.path !== undefined) select(Number(event.target.dataset.path));
  });
  more.addEventListener("click", () => {
    render(numbers.length);
    list.children[NEIGHBOURS].querySelector("button").focus();
  });
  return (next) => {
    numbers = next ? [...next].sort((one, other) => model.sizes[other] - model.sizes[one] || one - other) : [];
    render(NEIGHBOURS);
    if (numbers.length) return;
    const item = document.createElement("li");
    item.className = "note";
    item.textContent = next ? "nothing" : "Choose a store path.";
    list.append(item);
  };
}

function makePathItem(model, number) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  const size = document.createElement("span");
  button.type = "button";
  button.dataset.path = number;
  button.textContent = model.names[number];
  size.textContent = formatSize(model.sizes[number]);
  item.append(button, size);
  return item;
}

// The drawing of images and layers: a row for each image and a column for each layer.

// The height of a row and of the whole drawing, in CSS pixels. More rows than fit are drawn smaller.
const ROW_HEIGHT = 6;
const HEIGHTS = [60, 640];
const SENT_SIZE = 2;

function openMatrix(model) {
  const canvas = document.getElementById("matrix");
  const sentence = document.getElementById("matrix-cell");
  const context = canvas.getContext("2d");
  const columns = model.layers.length;
  // Images with the same layers come together.
  const order = model.bits.map((_, number) => number).filter((number) => model.bits[number].some((byte) => byte));
  order.sort((one, other) => compareBits(model.bits[one], model.bits[other]) || one - other);
  const rows = new Map(order.map((number, row) => [number, row]));
  const pixels = document.createElement("canvas");
  const cursor = { row: 0, column: 0, isShown: false };

  function compareBits(one, other) {
    for (let index = 0; index < one.length; index += 1) {
      // The lowest bit is the leftmost column.
      const different = one[index] ^ other[index];
      if (different) return one[index] & (different & -different) ? -1 : 1;
    }
    return 0;
  }

  function readColours() {
    const style = getComputedStyle(canvas);
    return Object.fromEntries(
      ["surface", "dot", "accent", "text"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]),
    );
  }

  // Draws one pixel for each cell, which the browser scales.
  function prepare() {
    const width = canvas.parentElement.clientWidth && canvas.getBoundingClientRect().width;
    if (!width) return;
    const height = Math.min(Math.max(order.length * ROW_HEIGHT, HEIGHTS[0]), HEIGHTS[1]);
    const scale = window.devicePixelRatio || 1;
    canvas.style.height = `${height}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    pixels.width = columns;
    pixels.height = order.length;
    const target = pixels.getContext("2d");
    target.fillStyle = readColours().dot;
    order.forEach((number, row) => {
      for (let column = 0; column < columns; column += 1) {
        if (hasLayer(model, number, column)) target.fillRect(column, row, 1, 1);
      }
    });
    draw();
  }

  function draw() {
    const colours = readColours();
    const [width, height] = [canvas.width / columns, canvas.height / order.length];
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = width < 1 || height < 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(pixels, 0, 0, canvas.width, canvas.height);
    context.fillStyle = colours.accent;
    model.layers.forEach(([, , , first, isMade], column) => {
      const [x, y] = [column * width, rows.get(first) * height];
      if (isMade) context.fillRect(x, y, Math.max(width, SENT_SIZE), Math.max(height, SENT_SIZE));
    });
    if (!cursor.isShown) return;
    context.strokeStyle = colours.text;
    context.lineWidth = window.devicePixelRatio || 1;
    context.strokeRect(0, cursor.row * height, canvas.width, height);
    context.strokeRect(cursor.column * width, 0, width, canvas.height);
  }

  function describe() {
    const number = order[cursor.row];
    const [layer, size, count, first, isMade] = model.layers[cursor.column];
    const image = model.cells[number][0];
    const has = hasLayer(model, number, cursor.column) ? "has" : "does not have";
    const sent = isMade ? `sent once, with ${model.cells[first][0]}` : "there already";
    return `${image} ${has} ${layer}: ${formatSize(size)}, in ${formatCount(count, "image")}, ${sent}.`;
  }

  function move(row, column) {
    cursor.row = Math.min(Math.max(row, 0), order.length - 1);
    cursor.column = Math.min(Math.max(column, 0), columns - 1);
    cursor.isShown = true;
    sentence.textContent = describe();
    draw();
  }

  canvas.addEventListener("pointermove", (event) => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - top) / height) * order.length);
    move(row, Math.floor(((event.clientX - left) / width) * columns));
  });
  canvas.addEventListener("keydown", (event) => {
    const page = Math.ceil(order.length / 10);
    const steps = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [-page, 0],
      PageDown: [page, 0],
      Home: [0, -columns],
      End: [0, columns],
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [down, right] = steps[event.key];
    if (cursor.isShown) move(cursor.row + down, cursor.column + right);
    else move(0, 0);
  });
  new ResizeObserver(prepare).observe(canvas.parentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", prepare);
}

function hasLayer(model, number, column) {
  return Boolean(model.bits[number][column >> 3] & (1 << (column & 7)));
}

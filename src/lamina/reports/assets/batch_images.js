// The table of images: search, and show more. Only a part of a long table is in the page at a time.

const PAGE_LENGTH = 200;

function openImages(model) {
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const body = document.getElementById("image-rows");
  const more = document.getElementById("more");
  const rest = document.getElementById("rest");
  const kinds = [...body.parentElement.tHead.rows[0].cells].map((cell) => cell.className);
  let found = [];
  let shown = PAGE_LENGTH;

  function makeRow(texts) {
    const row = document.createElement("tr");
    texts.forEach((text, index) => {
      const cell = document.createElement(index ? "td" : "th");
      if (!index) cell.scope = "row";
      if (kinds[index]) cell.className = kinds[index];
      cell.textContent = text;
      row.append(cell);
    });
    return row;
  }

  function render() {
    body.replaceChildren(...found.slice(0, shown).map(makeRow));
    more.hidden = found.length <= shown;
  }

  function update() {
    const wanted = search.value.trim().toLowerCase();
    found = model.cells.filter((texts) => texts[0].toLowerCase().includes(wanted) || texts.at(-1).includes(wanted));
    shown = PAGE_LENGTH;
    const all = formatCount(model.cells.length, "image");
    count.textContent = wanted ? `${found.length.toLocaleString("en")} of ${all}` : all;
    render();
  }

  search.addEventListener("input", update);
  more.addEventListener("click", () => {
    shown += PAGE_LENGTH;
    render();
    if (more.hidden) search.focus();
  });
  if (rest) rest.hidden = true;
  update();
}

// The list of store paths: search, sort, and choose one. Only a part of a long list is in the page at a time.

const PAGE_LENGTH = 200;

function openPathList(model, select) {
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const body = document.getElementById("path-rows");
  const more = document.getElementById("more");
  const heads = [...document.querySelectorAll("#paths th button")];
  const order = { key: "sent0", descending: true };
  let found = [];
  let shown = PAGE_LENGTH;
  let selected = null;

  const values = { name: (number) => model.names[number], size: (number) => model.sizes[number] };
  model.plans.forEach((plan, index) => {
    values[`sent${index}`] = (number) => plan.sent[number];
  });

  function compare(one, other) {
    const [first, second] = [values[order.key](one), values[order.key](other)];
    const sign = first < second ? -1 : first > second ? 1 : 0;
    return (order.descending ? -sign : sign) || one - other;
  }

  function addCell(row, text) {
    const cell = row.insertCell();
    cell.className = "number";
    cell.textContent = text;
  }

  function makeRow(number, isFirst) {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    const button = document.createElement("button");
    head.scope = "row";
    button.type = "button";
    button.dataset.path = number;
    button.textContent = model.names[number];
    button.title = model.paths[number];
    button.tabIndex = isFirst ? 0 : -1;
    button.setAttribute("aria-pressed", number === selected);
    head.append(button);
    row.append(head);
    addCell(row, formatSize(model.sizes[number]));
    for (const plan of model.plans) addCell(row, formatSize(plan.sent[number]));
    return row;
  }

  function render() {
    body.replaceChildren(...found.slice(0, shown).map((number, index) => makeRow(number, index === 0)));
    more.hidden = found.length <= shown;
    for (const head of heads) {
      const isSorted = head.dataset.sort === order.key;
      head.parentElement.setAttribute("aria-sort", isSorted ? (order.descending ? "descending" : "ascending") : "none");
    }
  }

  function update() {
    const wanted = search.value.trim().toLowerCase();
    found = model.names.map((_, number) => number).filter((number) => model.paths[number].toLowerCase().includes(wanted));
    found.sort(compare);
    shown = PAGE_LENGTH;
    const all = formatCount(model.names.length, "store path");
    count.textContent = wanted ? `${found.length.toLocaleString("en")} of ${all}` : all;
    render();
  }

  search.addEventListener("input", update);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && found.length) select(found[0]);
  });
  more.addEventListener("click", () => {
    const next = shown;
    shown += PAGE_LENGTH;
    render();
    const target = body.rows[next].querySelector("button");
    moveTabStop(body.querySelectorAll("button"), target);
    target.focus();
  });
  for (const head of heads) {
    head.addEventListener("click", () => {
      order.descending = order.key === head.dataset.sort ? !order.descending : head.dataset.sort !== "name";
      order.key = head.dataset.sort;
      update();
    });
  }
  body.addEventListener("click", (event) => {
    const button = event.target.closest("tr").querySelector("button");
    moveTabStop(body.querySelectorAll("button"), button);
    select(Number(button.dataset.path));
  });
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    const targets = {
      ArrowDown: row.nextElementSibling,
      ArrowUp: row.previousElementSibling,
      Home: body.firstElementChild,
      End: body.lastElementChild,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    const target = targets[event.key] && targets[event.key].querySelector("button");
    if (!target) return;
    moveTabStop(body.querySelectorAll("button"), target);
    target.focus();
  });
  update();

  return (state) => {
    selected = state ? state.selected : null;
    for (const button of body.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", Number(button.dataset.path) === selected);
      const isChanged = Boolean(state) && state.changed.has(Number(button.dataset.path));
      button.closest("tr").classList.toggle("changed", isChanged);
    }
  };
}

// The tables of layers: mark the layers that are sent again, and list the paths of a layer when it is opened.

function openLayerTable(table, model, select) {
  const plan = model.plans[table.dataset.plan];
  const rows = [...table.tBodies[0].rows];

  table.addEventListener(
    "toggle",
    (event) => {
      const list = event.target.querySelector("ul");
      if (!event.target.open || list.children.length) return;
      const numbers = plan.layers[event.target.closest("tr").dataset.layer];
      list.append(...numbers.map((number) => makePathItem(model, number)));
    },
    true,
  );
  table.addEventListener("click", (event) => {
    if (event.target.dataset.path !== undefined) select(Number(event.target.dataset.path));
  });
  rows.forEach((row, index) => {
    if (plan.layers[index].length !== 1) return;
    const cell = row.querySelector(".paths");
    cell.replaceChildren(makePathItem(model, plan.layers[index][0]).firstChild);
  });

  return (state) => {
    rows.forEach((row, index) => {
      const isSent = Boolean(state) && state.sent[table.dataset.plan].layers.has(index);
      row.classList.toggle("sent", isSent);
      row.querySelector(".state").textContent = isSent ? "re-sent" : "";
    });
  };
}

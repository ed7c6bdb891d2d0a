// The data of the page, and what a change of a store path affects.

function loadModel() {
  const model = JSON.parse(document.getElementById("data").textContent);
  model.referrers = model.names.map(() => []);
  model.references.forEach((references, number) => {
    for (const reference of references) model.referrers[reference].push(number);
  });
  for (const plan of model.plans) {
    plan.sizes = plan.layers.map((layer) => layer.reduce((sum, number) => sum + model.sizes[number], 0));
    plan.size = plan.sizes.reduce((sum, size) => sum + size, 0);
    plan.layerOf = new Map(plan.layers.flatMap((layer, index) => layer.map((number) => [number, index])));
  }
  return model;
}

// Returns the paths that change with a path: all that refer to it, directly or not.
function findChanged(model, selected) {
  const changed = new Set([selected]);
  for (const number of changed) {
    for (const referrer of model.referrers[number]) changed.add(referrer);
  }
  return changed;
}

// Returns the indexes of the layers that have one of the paths, and the sum of their sizes.
function findSent(plan, changed) {
  const layers = new Set();
  for (const number of changed) {
    if (plan.layerOf.has(number)) layers.add(plan.layerOf.get(number));
  }
  return { layers, size: [...layers].reduce((sum, index) => sum + plan.sizes[index], 0) };
}

// Moves the one tab stop of a group of elements to one of them.
function moveTabStop(elements, target) {
  for (const item of elements) {
    if (item.tabIndex === 0) item.tabIndex = -1;
  }
  target.tabIndex = 0;
}

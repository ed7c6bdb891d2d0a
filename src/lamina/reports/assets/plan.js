// Connect the parts of the page of a plan.

(() => {
  const model = loadModel();
  const sentence = document.getElementById("sentence");
  const fullPath = document.getElementById("full-path");
  const clear = document.getElementById("clear");
  const hoverLine = document.getElementById("hover");
  const start = "Choose a store path to see what its change re-sends.";

  function hover(text) {
    hoverLine.textContent = text || "\u00a0";
  }

  function describeSent(plan, sent) {
    return `${formatCount(sent.layers.size, "layer")}, ${formatSize(sent.size)} of ${formatSize(plan.size)}`;
  }

  function describe(state) {
    const [first, ...others] = model.plans;
    const [own, ...compared] = state.sent;
    const changes = formatCount(state.changed.size, "store path");
    const text = `A change of ${model.names[state.selected]} changes ${changes} and re-sends ${describeSent(first, own)}.`;
    return [text, ...others.map((plan, index) => `With ${plan.strategy}: ${describeSent(plan, compared[index])}.`)].join(" ");
  }

  function show(selected) {
    let state = null;
    if (selected !== null) {
      const changed = findChanged(model, selected);
      state = { selected, changed, sent: model.plans.map((plan) => findSent(plan, changed)) };
    }
    sentence.textContent = state ? describe(state) : start;
    fullPath.textContent = state ? model.paths[selected] : "\u00a0";
    clear.hidden = !state;
    model.plans.forEach((plan, index) => {
      document.getElementById(`outcome${index}`).textContent = state ? `re-sends ${formatSize(state.sent[index].size)}` : "";
    });
    for (const part of parts) part(state);
  }

  const parts = [
    ...[...document.querySelectorAll(".treemap")].map((svg) => openTreemap(svg, model, show, hover)),
    openPathList(model, show),
    openGraph(model, show),
    ...[...document.querySelectorAll("table.layers")].map((table) => openLayerTable(table, model, show)),
  ];
  clear.addEventListener("click", () => {
    show(null);
    document.getElementById("search").focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.id !== "search") show(null);
  });
  hover("");
  show(null);
})();

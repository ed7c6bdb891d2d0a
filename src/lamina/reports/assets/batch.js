// Open the parts of the page of a batch.

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const bits = data.bits.map((text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
  const model = { layers: data.layers, cells: data.cells, bits };
  if (model.layers.length) openMatrix(model);
  openImages(model);
})();

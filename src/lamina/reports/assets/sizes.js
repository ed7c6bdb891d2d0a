// Sizes and counts as lamina prints them.
"use strict";

const UNITS = ["KiB", "MiB", "GiB", "TiB"];

// Rounds to a whole number; of two equally near ones, to the even one, as Python does.
function roundHalfEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

function formatSize(size) {
  if (size < 1024) return `${size} B`;
  let exponent = 1;
  while (size >= 1023.5 * 1024 ** exponent && exponent < UNITS.length) exponent += 1;
  const value = size / 1024 ** exponent;
  const text = value < 99.95 ? (roundHalfEven(value * 10) / 10).toFixed(1) : roundHalfEven(value);
  return `${text} ${UNITS[exponent - 1]}`;
}

function formatCount(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

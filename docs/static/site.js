// A block of code or a table that is wider than the page can be scrolled with the keyboard, too.
function markScrollable() {
  for (const region of document.querySelectorAll("article pre, article .table-wrapper")) {
    if (region.scrollWidth > region.clientWidth) {
      region.tabIndex = 0;
    } else {
      region.removeAttribute("tabindex");
    }
  }
}

markScrollable();
window.addEventListener("resize", markScrollable);

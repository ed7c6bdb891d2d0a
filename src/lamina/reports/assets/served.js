// Copy the command beside a button. Where the browser does not allow that, the command is selected for the keyboard.
"use strict";

(() => {
  const status = document.getElementById("status");

  async function copy(code) {
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
      status.textContent = `Copied: ${code.textContent}`;
    } catch {
      status.textContent = `Selected: ${code.textContent}`;
    }
  }

  document.querySelector("main").addEventListener("click", (event) => {
    const button = event.target.closest(".command button");
    if (button) copy(button.previousElementSibling);
  });
})();

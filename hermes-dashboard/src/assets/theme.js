// The theme: as the system has it, or as was chosen here. It runs before anything is painted.
(() => {
  const next = { auto: "light", light: "dark", dark: "auto" };
  const sign = { auto: "◐", light: "☀", dark: "☾" };
  const chosen = () => {
    const theme = localStorage.getItem("hermes.theme");
    return theme in next ? theme : "auto";
  };
  const apply = () => {
    const theme = chosen();
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (!button) return;
    button.textContent = sign[theme];
    button.title = `Theme: ${theme === "auto" ? "as the system" : theme}`;
    button.setAttribute("aria-label", button.title);
  };
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      localStorage.setItem("hermes.theme", next[chosen()]);
      apply();
    });
  });
})();

// The theme: the system's, or the user's choice. Runs before the first paint.
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
    button.title = `Theme: ${theme === "auto" ? "system" : theme}`;
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

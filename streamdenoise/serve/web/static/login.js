// The login.

import { api, show } from "./api.js";

const form = document.getElementById("login");

/** Go where the user wanted to go, but never to another site. */
function goOn() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") ?? "/", location.origin);
  location.replace(wanted.origin === location.origin ? wanted.pathname + wanted.search : "/");
}

// A link from another site comes without the cookie: whoever is logged in goes on.
api("/api/session").then(goOn, () => {});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password } = form.elements;
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await api("/api/session", "POST", { name: name.value, password: password.value });
    goOn();
  } catch (error) {
    show(document.getElementById("refused"), error.message);
    password.value = "";
    password.focus();
  } finally {
    button.disabled = false;
  }
});

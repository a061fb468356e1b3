/* Show the API's own description. A file of its own, so that the page runs under a strict policy. */
"use strict";

const place = document.getElementById("api");

SwaggerUIBundle({
  domNode: place,
  url: place.dataset.schema,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // The badge would ask a foreign host.
  validatorUrl: null,
  // Names and values as this page's address gives them must not change what it shows.
  queryConfigEnabled: false,
});

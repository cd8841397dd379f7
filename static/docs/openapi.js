SwaggerUIBundle({
  url: "/docs/openapi.json",
  dom_id: "#api",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  validatorUrl: null,
});

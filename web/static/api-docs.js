/* Swagger UI for our OpenAPI document; requests go to this server, with the token given under "Authorize",
 * which this page forgets when it is closed: other pages could read localStorage later. */
window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});

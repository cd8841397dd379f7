// Buy a ticket with types that openapi-typescript generated: `node buy.js http://localhost:3500`.

import type { components, paths } from "./marketplace.js";

type Schemas = components["schemas"];
type Method = "get" | "post";
type Json<T> = T extends { content: { "application/json": infer Body } } ? Body : never;

/** The operation of a path, if the path has this method. */
type Operation<P extends keyof paths, M extends Method> = paths[P] extends Record<M, infer O> ? O : never;

/** The body of a request. */
type Sent<O> = O extends { requestBody: infer Body } ? Json<Body> : undefined;

/** The body of a successful response. */
type Received<O> = O extends { responses: infer Responses }
  ? { [Status in keyof Responses]: Status extends 200 | 201 ? Json<Responses[Status]> : never }[keyof Responses]
  : never;

const web = process.argv[2];
const seconds = 30;

async function call<P extends keyof paths, M extends Method>(
  method: M,
  path: P,
  body: Sent<Operation<P, M>>,
  options: { token?: string; id?: string; query?: Record<string, string> } = {},
): Promise<Received<Operation<P, M>>> {
  const address = path.replace(/\{\w+\}/, options.id ?? "");
  const response = await fetch(`${web}${address}?${new URLSearchParams(options.query)}`, {
    method: method.toUpperCase(),
    headers: {
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(options.token === undefined ? {} : { Authorization: `Bearer ${options.token}` }),
    },
    body: body === undefined ? null : JSON.stringify(body),
  });
  if (!response.ok) {
    const problem = (await response.json()) as Schemas["Problem"];
    throw new Error(`${method} ${path}: ${problem.status} ${problem.errors.map((error) => error.message).join()}`);
  }
  return response.json() as Promise<Received<Operation<P, M>>>;
}

async function signUp(): Promise<string> {
  const body = { email: `${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() };
  const user = await call("post", "/api/users/signup", body, { query: { token: "true" } });
  if (user.token === undefined) {
    throw new Error("the response has no token");
  }
  return user.token;
}

const seller = await signUp();
const buyer = await signUp();
// Digits could be a code.
const letters = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => String.fromCharCode(97 + (byte % 26)));
const title = letters.join("");
const offered = { title, price: 19.99, quantity: 1, promised: false };
const ticket = await call("post", "/api/tickets", offered, { token: seller });

const deadline = Date.now() + seconds * 1000;
let found: string[] = [];
while (!found.includes(ticket.id)) {
  if (Date.now() > deadline) {
    throw new Error("the ticket isn't in the list");
  }
  const listed = await call("get", "/api/tickets", undefined, { query: { q: title } });
  found = listed.map((each) => each.id);
}

let order = await call("post", "/api/orders", { ticketId: ticket.id }, { token: buyer });
if (new Date(order.expiresAt).toISOString() !== order.expiresAt) {
  throw new Error(`${order.expiresAt} isn't written as toISOString does`);
}
await call("post", "/api/payments", { orderId: order.id, token: "tok_visa" }, { token: buyer });
while (order.status !== "complete") {
  if (Date.now() > deadline) {
    throw new Error(`the order is ${order.status}`);
  }
  await new Promise((resolve) => setTimeout(resolve, 200));
  order = await call("get", "/api/orders/{order_id}", undefined, { id: order.id, token: buyer });
}
console.log(`bought ${ticket.id} with order ${order.code}`);

export {};

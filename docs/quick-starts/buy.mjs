const site = "http://localhost:3500";

/** A function that sends requests of a new user, and returns the responses' bodies. */
async function newUser(name) {
  let authorization = {};
  const call = async (path, body) => {
    const response = await fetch(site + path, {
      method: body ? "POST" : "GET",
      headers: { "Content-Type": "application/json", ...authorization },
      body: body && JSON.stringify(body),
    });
    if (!response.ok) {
      throw new Error(await response.text());
    }
    return response.json();
  };
  const email = `${name}-${crypto.randomUUID()}@example.com`;
  const { token } = await call("/api/users/signup?token=true", { email, password: "correct horse battery" });
  authorization = { Authorization: `Bearer ${token}` };
  return call;
}

const seller = await newUser("seller");
const buyer = await newUser("buyer");
const ticket = await seller("/api/tickets", { title: "Front row", price: 25 });
let order = await buyer("/api/orders", { ticketId: ticket.id });
await buyer("/api/payments", { orderId: order.id, token: "tok_visa" });
while (order.status !== "complete") {
  await new Promise((resolve) => setTimeout(resolve, 100));
  order = await buyer(`/api/orders/${order.id}`);
}
console.log(`Order ${order.code} is ${order.status}`);

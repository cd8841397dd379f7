// npm install @nats-io/transport-node; NATS_URL="$(just developer-url)" node listen.mjs
import { connect } from "@nats-io/transport-node";

const url = new URL(process.env.NATS_URL);
const connection = await connect({ servers: url.host, user: url.username, pass: url.password });
for await (const message of connection.subscribe("live.>")) {
  const event = message.json();
  console.log(message.headers.get("ce-type"), message.headers.get("ce-subject"), event.status ?? "");
}

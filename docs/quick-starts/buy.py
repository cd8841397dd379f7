# pip install httpx
import secrets
import time

import httpx

SITE = "http://localhost:3500"


def new_user(name: str) -> httpx.Client:
    """A client that is signed in: it keeps the session cookie."""
    client = httpx.Client(base_url=SITE)
    user = {"email": f"{name}-{secrets.token_hex(4)}@example.com", "password": "correct horse battery"}
    client.post("/api/users/signup", json=user).raise_for_status()
    return client


seller, buyer = new_user("seller"), new_user("buyer")
ticket = seller.post("/api/tickets", json={"title": "Front row", "price": 25}).raise_for_status().json()
order = buyer.post("/api/orders", json={"ticketId": ticket["id"]}).raise_for_status().json()
buyer.post("/api/payments", json={"orderId": order["id"], "token": "tok_visa"}).raise_for_status()
while order["status"] != "complete":
    time.sleep(0.1)
    order = buyer.get(f"/api/orders/{order['id']}").raise_for_status().json()
print("Order", order["code"], "is", order["status"])

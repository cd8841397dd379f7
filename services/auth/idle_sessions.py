"""Ends the sessions that nobody uses any more."""

from datetime import timedelta

from contracts.wire import now
from kit.security_log import record
from kit.sessions import EndedSessions
from services.auth.documents import Session


async def end_idle_sessions(idle: timedelta, ended: EndedSessions) -> None:
    """End each session that wasn't used for the time `idle`. Several instances may do so at the same time."""
    moment = now()
    is_idle = {"ended_at": None, "used_at": {"$lt": moment - idle}, "expires_at": {"$gt": moment}}
    async for session in Session.find(is_idle):
        # The guard fails if another instance has ended the session, or if its user has just come back.
        if await session.save_and_publish({"ended_at": now()}, used_at=session.used_at):
            ended.add(session.key, now())
            record("session-end", "success", actor=session.user_id, reason="idle")

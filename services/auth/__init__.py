"""Who is who: sign up, in and out, and the keys that session tokens are signed with."""

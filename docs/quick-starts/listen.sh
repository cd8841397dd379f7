nats sub --server "$(just developer-url)" 'live.>'

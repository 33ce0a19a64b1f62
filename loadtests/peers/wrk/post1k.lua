-- A form of 1,024 bytes. No request() here: wrk builds it once and sends the same bytes each time.
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"

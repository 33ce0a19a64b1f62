-- Three short fields and one that no other request has. The head is joined by hand: wrk.format() costs wrk more than
-- the quickest server takes to answer.
local prefix, count = nil, 0

function init(args)
  prefix = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: wrk\r\nAccept: */*\r\nX-Request-Id: " .. args[1]
end

function request()
  count = count + 1
  return prefix .. string.format("%012x", count) .. "\r\n\r\n"
end

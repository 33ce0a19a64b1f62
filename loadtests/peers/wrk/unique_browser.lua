-- The eleven fields of a browser and one that no other request has, as a proxy in front adds it.
local prefix, count = nil, 0

function init(args)
  local lines = { "GET / HTTP/1.1", "Host: 127.0.0.1" }
  for name, value in pairs(wrk.headers) do
    if name ~= "Host" then
      lines[#lines + 1] = name .. ": " .. value
    end
  end
  prefix = table.concat(lines, "\r\n") .. "\r\nX-Request-Id: " .. args[1]
end

function request()
  count = count + 1
  return prefix .. string.format("%012x", count) .. "\r\n\r\n"
end

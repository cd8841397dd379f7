-- Arguments: a salt, or "" if all requests have the same path. With a salt, "{}" in the path becomes a number that
-- no request had before. Prints the results as JSON.
local counter, path = 0, nil

function init(arguments)
   if arguments[1] and arguments[1] ~= "" then
      counter = tonumber(arguments[1])
      path = wrk.path
      request = function()
         counter = counter + 1
         return wrk.format("GET", (path:gsub("{}", tostring(counter))))
      end
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format(
      '{"requests": %d, "seconds": %f, "refused": %d, "broken": %d}',
      summary.requests, summary.duration / 1e6, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end

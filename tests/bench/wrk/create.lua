-- Creates ConfigMaps, each under a name of its own.
done = dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "report.lua")

local run, turn
local value = string.rep("v", 100)

function init(args)
  run, turn = args[1], 0
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  turn = turn + 1
  local name = string.format("passing-wrk-%s-%d", run, turn)
  local body = string.format(
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s","labels":{"app":"bench","bench":"passing"}},"data":{"key":"%s"}}',
    name, value
  )
  return wrk.format("POST", nil, nil, body)
end

-- wrk's `done`: one line of JSON, or an end with an error where an answer was no success.
return function(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  if failed > 0 then
    io.stderr:write(string.format("%d of %d requests failed (status: %d)\n", failed, summary.requests, errors.status))
    os.exit(1)
  end
  print(string.format(
    '{"operations": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
  ))
end

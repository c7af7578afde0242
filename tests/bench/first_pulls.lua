-- wrk: ask for each of COUNT tags once and stop; prints how long that took. Usage: wrk ... -s first_pulls.lua URL -- COUNT
local ffi = require("ffi")
ffi.cdef [[ typedef struct { long s; long ns; } bench_time; int clock_gettime(int id, bench_time *out); ]]

local function now()
    local time = ffi.new("bench_time")
    ffi.C.clock_gettime(1, time)
    return tonumber(time.s) + tonumber(time.ns) / 1e9
end

local threads = {}
function setup(thread)
    table.insert(threads, thread)
end

function init(args)
    wanted = tonumber(args[1])
    sent, answered, refused, first, last = 0, 0, 0, 0, 0
    wrk.headers["Accept"] = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " ..
        "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
end

function request()
    if sent == 0 then
        first = now()
    end
    local tag = sent < wanted and sent or 0
    sent = sent + 1
    return wrk.format("GET", "/v2/bench/many/manifests/t" .. tag)
end

function response(status)
    answered = answered + 1
    if status ~= 200 then
        refused = refused + 1
    end
    if answered == wanted then
        last = now()
        wrk.thread:stop()
    end
end

function done()
    local t = threads[1]
    print(string.format("first_pulls %d %d %.6f", t:get("answered"), t:get("refused"), t:get("last") - t:get("first")))
end

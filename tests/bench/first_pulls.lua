-- wrk: ask for each of COUNT tags once and stop; prints how long that took. Usage: wrk ... -s first_pulls.lua URL -- COUNT
local ffi = require("ffi")
ffi.cdef [[ typedef struct { long s; long ns; } bench_time; int clock_gettime(int id, bench_time *out); ]]

local function now()
    local time = ffi.new("bench_time")
    ffi.C.clock_gettime(1, time)
    return tonumber(time.s) + tonumber(time.ns) / 1e9
end

function init(args)
    wanted = tonumber(args[1])
    claimed, answered, refused, first = 0, 0, 0, 0
    sent = -1 -- wrk looks at one request that it does not send
    wrk.headers["Accept"] = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " ..
        "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
end

-- a connection for which no tag is left waits: asking for one again would count as an answer
function delay()
    claimed = claimed + 1
    return claimed <= wanted and 0 or 60000
end

function request()
    if sent == 0 then
        first = now()
    end
    sent = sent + 1
    return wrk.format("GET", "/v2/bench/many/manifests/t" .. (sent - 1))
end

function response(status)
    answered = answered + 1
    if status ~= 200 then
        refused = refused + 1
    end
    if answered == wanted then
        -- wrk itself would only wake when its whole duration is over
        print(string.format("first_pulls %d %d %.6f", answered, refused, now() - first))
        io.stdout:flush()
        os.exit(0)
    end
end

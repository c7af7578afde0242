#include "proxy/problems.h"

#include "metrics/text.h"
#include "policy/config.h"

static const char *problems_severity(const struct config_problem *problem)
{
    return problem->severity == CONFIG_ERROR ? "error" : "warning";
}

void problems_json(struct text *out, const struct config_problems *problems)
{
    text_put(out, "[");
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *problem = &problems->items[i];
        const char *const pairs[][2] = {
            {"severity", problems_severity(problem)},
            {"message", problem->message},
            {"found", problem->found},
            {"expected", problem->expected},
            {"nearest", problem->nearest},
        };

        text_put(out, i > 0 ? ",{" : "{");
        text_put_key(out, "file");
        text_put_json(out, problem->file != NULL ? problem->file : "");
        text_printf(out, ",\"line\":%u,\"column\":%u", problem->line, problem->column);
        for (size_t k = 0; k < GH_COUNT(pairs); k++) {
            text_put_key(out, pairs[k][0]);
            text_put_json(out, pairs[k][1] != NULL ? pairs[k][1] : "");
        }
        text_put(out, "}");
    }
    text_put(out, "]");
}

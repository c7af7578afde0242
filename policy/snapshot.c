#include "policy/snapshot.h"

#include <string.h>

const char *policy_mode_label(enum policy_mode mode)
{
    switch (mode) {
    case POLICY_DENY:
        return "deny";
    case POLICY_WARN:
        return "warn";
    case POLICY_AUDIT:
        return "audit";
    }
    return "deny";
}

enum policy_mode policy_mode_at(const struct policy *policy, int64_t now_unix_s)
{
    for (size_t i = 0; i < policy->stage_count; i++) {
        if (now_unix_s < policy->stages[i].until_unix_s) {
            return policy->stages[i].mode;
        }
    }
    return POLICY_DENY;
}

bool exception_in_force(const struct exception *exception, int64_t now_unix_s)
{
    return exception->created_unix_s <= now_unix_s && now_unix_s < exception->expires_unix_s;
}

int64_t exception_days_left(const struct exception *exception, int64_t now_unix_s)
{
    if (now_unix_s >= exception->expires_unix_s) {
        return 0;
    }
    return (exception->expires_unix_s - now_unix_s + 86399) / 86400;
}

bool exception_concerns(const struct exception *exception, const struct policy *policy)
{
    size_t low = 0;
    size_t high = exception->policy_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (exception->policies[middle] == policy->index) {
            return true;
        }
        if (exception->policies[middle] < policy->index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

bool exception_waives(const struct exception *exception, const char *label)
{
    for (size_t i = 0; i < exception->waive_count; i++) {
        if (strcmp(exception->waive[i], label) == 0) {
            return true;
        }
    }
    return exception->waive_count == 0;
}

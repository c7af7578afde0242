/* The first byte chooses the alias and its settings, the rest is the predicate. */
#include "crypto/sjson.h"
#include "policy/predicate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const fuzz_names[] = {"*x*"};
static const char *const fuzz_low[] = {"low"};
static const char *const fuzz_three[] = {"3"};
static const char *const fuzz_age[] = {"7d"};
static const struct predicate_option fuzz_options[][3] = {
    {{"source", NULL, fuzz_names, 1},
     {"commit", NULL, fuzz_names, 1},
     {"level", NULL, fuzz_three, 1}},
    {{"licences", NULL, fuzz_names, 1},
     {"must_contain", NULL, fuzz_names, 1},
     {"min_components", NULL, fuzz_three, 1}},
    {{"denied_licences", NULL, fuzz_names, 1},
     {"must_not_contain", NULL, fuzz_names, 1},
     {"format", NULL, fuzz_names, 1}},
    {{"accept", NULL, fuzz_names, 1}},
    {{"max_severity", NULL, fuzz_low, 1},
     {"max_count", NULL, fuzz_three, 1},
     {"db_max_age", NULL, fuzz_age, 1}},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    struct predicate_check *check = NULL;
    struct gh_error err = {0};
    struct predicate_input input = {.now_unix_s = 1767225600, .max_age_s = 86400};
    const struct predicate_alias *alias;
    json_t *predicate = NULL;
    uint8_t choice;
    size_t count = 0, at, types = 0;
    int64_t until;

    if (!bytes_u8(&in, &choice, &err) || !sjson_parse(in, 1 << 20, &predicate, &err)) {
        return 0;
    }
    alias = &predicate_aliases[choice % predicate_alias_count];
    while (alias->types[types] != NULL) {
        types++;
    }
    if (choice & 0x80) {
        const struct predicate_option *options = fuzz_options[choice % predicate_alias_count];

        while (count < 3 && options[count].name != NULL) {
            count++;
        }
    }
    input.type = bytes_of(alias->types[(choice >> 4) % types]);
    input.predicate = predicate;
    if (!predicate_check_new(alias->name, fuzz_options[choice % predicate_alias_count], count,
                             &check, &at, &err)) {
        __builtin_trap(); /* the options above are good */
    }
    if (!predicate_evaluate(check, NULL, &input, &until, &err) && err.cause == GH_CAUSE_NONE) {
        __builtin_trap();
    }
    predicate_check_free(check);
    json_decref(predicate);
    return 0;
}

#include "proxy/command_check.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "policy/config_schema.h"
#include "proxy/config_files.h"
#include "proxy/trust_held.h"

#define CHECK_MAX_OUTPUT_BYTES (4u * 1024 * 1024)

static const char check_usage[] =
    "usage: gatehouse check -c FILE [--output text|json]\n"
    "       gatehouse check --schema | --reference\n"
    "\n"
    "Reads a configuration with everything it names and shows every fault: file, line, column,\n"
    "what was found and what was expected. Runs the file's tests.\n"
    "\n"
    "  -c, --config FILE   the configuration\n"
    "      --output FORM   text (default) or json\n"
    "      --schema        print the JSON Schema of the language\n"
    "      --reference     print the reference of the language as Markdown\n"
    "  -h, --help          this text\n"
    "\n"
    "Exit status: 0 without errors, 2 with.\n";

static void check_json(const struct config_problems *problems, const struct config *config,
                       struct text *out)
{
    text_printf(out, "{\"valid\":%s,\"errors\":%zu", config != NULL ? "true" : "false",
                problems->error_count);
    if (config != NULL) {
        text_put(out, ",\"fingerprint\":");
        text_put_json(out, config->fingerprint_text);
    }
    text_put(out, ",\"problems\":[");
    for (size_t i = 0; i < problems->count; i++) {
        const struct config_problem *problem = &problems->items[i];

        text_put(out, i == 0 ? "{\"severity\":" : ",{\"severity\":");
        text_put_json(out, problem->severity == CONFIG_ERROR ? "error" : "warning");
        text_put(out, ",\"file\":");
        text_put_json(out, problem->file);
        text_printf(out, ",\"line\":%u,\"column\":%u,\"message\":", problem->line, problem->column);
        text_put_json(out, problem->message);
        text_put(out, ",\"found\":");
        text_put_json(out, problem->found);
        text_put(out, ",\"expected\":");
        text_put_json(out, problem->expected);
        text_put(out, ",\"nearest\":");
        text_put_json(out, problem->nearest);
        text_put(out, "}");
    }
    text_put(out, "]}\n");
}

static void check_summary(const struct config_tenant *tenant)
{
    (void)printf("%s: valid, %zu upstreams, %zu signers, %zu policies, %zu exceptions\n",
                 tenant->file, tenant->upstreams.count, tenant->snapshot.signer_count,
                 tenant->snapshot.policy_count, tenant->snapshot.exception_count);
}

static int check_file(const char *path, bool is_json)
{
    struct config_files files = {.tuf = trust_held_load};
    struct config_loader loader;
    struct config_problems problems;
    struct config *config = NULL;
    struct gh_error err = {0};
    struct text out;
    bool is_loaded;

    config_files_loader(&files, &loader);
    is_loaded = config_load(&loader, path, (int64_t)time(NULL), &config, &problems, &err);
    if (is_json) {
        text_init(&out, CHECK_MAX_OUTPUT_BYTES);
        check_json(&problems, config, &out);
        (void)fputs(text_cstr(&out), stdout);
        text_done(&out);
    } else {
        config_files_print(&problems, true);
        if (is_loaded) {
            for (size_t i = 0; i < config->tenant_count; i++) {
                check_summary(&config->tenants[i]);
            }
        } else {
            (void)fprintf(stderr, "%s: %zu error%s\n", path, problems.error_count,
                          problems.error_count == 1 ? "" : "s");
        }
    }
    config_problems_done(&problems);
    config_unref(config);
    return is_loaded ? 0 : 2;
}

static int check_print(void (*print)(struct text *out))
{
    struct text out;
    int status;

    text_init(&out, CHECK_MAX_OUTPUT_BYTES);
    print(&out);
    status = text_ok(&out) && fputs(text_cstr(&out), stdout) >= 0 ? 0 : 2;
    text_done(&out);
    return status;
}

int command_check(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"output", required_argument, NULL, 'o'},
        {"schema", no_argument, NULL, 's'},       {"reference", no_argument, NULL, 'r'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    const char *path = NULL;
    bool is_json = false;
    int option;

    optind = 1;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 'o':
            is_json = strcmp(optarg, "json") == 0;
            if (!is_json && strcmp(optarg, "text") != 0) {
                (void)fprintf(stderr, "gatehouse check: --output takes text or json\n");
                return 2;
            }
            break;
        case 's':
            return check_print(config_print_schema);
        case 'r':
            return check_print(config_print_reference);
        case 'h':
            (void)fputs(check_usage, stdout);
            return 0;
        default:
            (void)fputs(check_usage, stderr);
            return 2;
        }
    }
    if (path == NULL && optind + 1 == argc) {
        path = argv[optind]; /* `check FILE` */
    } else if (path == NULL || optind != argc) {
        (void)fputs(check_usage, stderr);
        return 2;
    }
    return check_file(path, is_json);
}

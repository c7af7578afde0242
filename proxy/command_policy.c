#include "proxy/command_policy.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "metrics/text.h"
#include "policy/compare.h"
#include "policy/config.h"
#include "proxy/command_import.h"
#include "proxy/config_files.h"
#include "proxy/trust_held.h"

#define POLICY_MAX_OUTPUT_BYTES (64u * 1024 * 1024)

static const char policy_usage[] =
    "usage: gatehouse policy diff [--output text|json] A B\n"
    "       gatehouse policy import --from FORMAT FILE...\n"
    "\n"
    "diff shows what the configurations A and B decide differently, tenant by tenant: the names\n"
    "that lead to a tenant and its upstreams, by policy its patterns, mode and requirements, by\n"
    "signer who is trusted, by exception whether it is in force and what it waives.\n"
    "import prints policies of other tools as configuration; see gatehouse policy import --help.\n"
    "\n"
    "Exit status of diff: 0 no difference, 1 differences, 2 wrong usage or configuration.\n";

static int policy_diff(const char *path_a, const char *path_b, bool is_json)
{
    struct config_files files = {.tuf = trust_held_load};
    struct config *a = NULL;
    struct config *b = NULL;
    int64_t now = (int64_t)time(NULL);
    struct text out;
    struct compare_output output = {.out = &out, .is_json = is_json};
    int status = 2;

    text_init(&out, POLICY_MAX_OUTPUT_BYTES);
    if (config_files_load(&files, path_a, now, false, &a) &&
        config_files_load(&files, path_b, now, false, &b)) {
        text_put(&out, is_json ? "{\"differences\":[" : "");
        compare_configs(&output, a, b, now);
        text_put(&out, is_json ? "]}\n" : "");
        if (output.count == 0 && !is_json) {
            text_put(&out, "no difference\n");
        }
        if (text_ok(&out) && fputs(text_cstr(&out), stdout) >= 0) {
            status = output.count == 0 ? 0 : 1;
        }
    }
    text_done(&out);
    config_unref(a);
    config_unref(b);
    return status;
}

int command_policy(int argc, char **argv)
{
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *verb = argc > 1 ? argv[1] : "";
    bool is_json = false;
    int option;

    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) {
        (void)fputs(policy_usage, stdout);
        return 0;
    }
    if (strcmp(verb, "import") == 0) {
        return command_import(argc, argv);
    }
    optind = 2;
    while (argc > 1 && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'o' && (strcmp(optarg, "json") == 0 || strcmp(optarg, "text") == 0)) {
            is_json = optarg[0] == 'j';
            continue;
        }
        (void)fputs(policy_usage, option == 'h' ? stdout : stderr);
        return option == 'h' ? 0 : 2;
    }
    if (strcmp(verb, "diff") != 0 || optind + 2 != argc) {
        (void)fputs(policy_usage, stderr);
        return 2;
    }
    return policy_diff(argv[optind], argv[optind + 1], is_json);
}

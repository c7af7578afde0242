/*
 * Problems: all of a configuration's faults, collected in one go.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/config_schema.h"

void config_problems_done(struct config_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->items[i].file);
        free(problems->items[i].message);
        free(problems->items[i].found);
        free(problems->items[i].expected);
        free(problems->items[i].nearest);
    }
    free(problems->items);
    memset(problems, 0, sizeof(*problems));
}

static bool config_problem_room(struct config_problems *problems)
{
    size_t bigger = problems->capacity == 0 ? 16 : problems->capacity * 2;
    struct config_problem *more;

    if (problems->count < problems->capacity) {
        return true;
    }
    if (problems->count >= CONFIG_MAX_PROBLEMS) {
        problems->dropped++;
        return false;
    }
    more = realloc(problems->items, bigger * sizeof(*more));
    if (more == NULL) {
        problems->dropped++;
        return false;
    }
    problems->items = more;
    problems->capacity = bigger;
    return true;
}

void config_problem_add(struct config_reader *reader, enum config_severity severity, uint32_t line,
                        uint32_t column, const char *message, const char *found,
                        const char *expected, const char *nearest)
{
    struct config_problems *problems = reader->problems;
    struct config_problem *problem;

    if (severity == CONFIG_ERROR) {
        problems->error_count++; /* counted first: an error that finds no room still refuses */
    }
    if (!config_problem_room(problems)) {
        return;
    }
    problem = &problems->items[problems->count];
    memset(problem, 0, sizeof(*problem));
    problem->severity = severity;
    problem->file = strdup(reader->file);
    problem->line = line;
    problem->column = column;
    problem->message = strdup(message);
    problem->found = strdup(found == NULL ? "" : found);
    problem->expected = strdup(expected == NULL ? "" : expected);
    problem->nearest = strdup(nearest == NULL ? "" : nearest);
    problems->count++;
    if (problem->file == NULL || problem->message == NULL || problem->found == NULL ||
        problem->expected == NULL || problem->nearest == NULL) {
        free(problem->file);
        free(problem->message);
        free(problem->found);
        free(problem->expected);
        free(problem->nearest);
        problems->count--;
        problems->dropped++;
    }
}

static void config_problem_at(struct config_reader *reader, enum config_severity severity,
                              uint32_t line, uint32_t column, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));

static void config_problem_at(struct config_reader *reader, enum config_severity severity,
                              uint32_t line, uint32_t column, const char *format, va_list args)
{
    char message[1024];

    (void)vsnprintf(message, sizeof(message), format, args);
    config_problem_add(reader, severity, line, column, message, NULL, NULL, NULL);
}

void config_error(struct config_reader *reader, const struct yaml_node *node, const char *format,
                  ...)
{
    va_list args;

    va_start(args, format);
    config_problem_at(reader, CONFIG_ERROR, node == NULL ? 0 : node->line,
                      node == NULL ? 0 : node->column, format, args);
    va_end(args);
}

void config_warning(struct config_reader *reader, const struct yaml_node *node, const char *format,
                    ...)
{
    va_list args;

    va_start(args, format);
    config_problem_at(reader, CONFIG_WARNING, node == NULL ? 0 : node->line,
                      node == NULL ? 0 : node->column, format, args);
    va_end(args);
}

void config_error_at_key(struct config_reader *reader, const struct yaml_node *node,
                         const char *format, ...)
{
    bool is_keyed = node != NULL && node->key != NULL;
    va_list args;

    va_start(args, format);
    config_problem_at(
        reader, CONFIG_ERROR, node == NULL ? 0 : (is_keyed ? node->key_line : node->line),
        node == NULL ? 0 : (is_keyed ? node->key_column : node->column), format, args);
    va_end(args);
}

void config_error_found(struct config_reader *reader, const struct yaml_node *node,
                        const char *expected, const char *words, const char *what)
{
    char found[128];
    char near[CONFIG_MAX_NEAREST];
    char message[1024];
    const char *nearest = NULL;

    (void)yaml_describe(node, found, sizeof(found));
    if (words != NULL && node->kind == YAML_SCALAR) {
        nearest = config_nearest(node->text, words, near, sizeof(near));
    }
    (void)snprintf(message, sizeof(message), "%s: found %s, expected %s%s%s%s", what, found,
                   expected, nearest == NULL ? "" : "; did you mean \"",
                   nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
    config_problem_add(reader, CONFIG_ERROR, node->line, node->column, message, found, expected,
                       nearest);
}

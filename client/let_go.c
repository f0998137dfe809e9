#include "client/let_go.h"

#include <string.h>

enum { WORD = 64 };

static uint64_t *word_of(struct let_go *numbers, uint64_t number)
{
    return &numbers->words[number % LET_GO_NUMBERS / WORD];
}

static uint64_t bit_of(uint64_t number)
{
    return (uint64_t)1 << number % WORD;
}

/* The number may be in it. */
static bool covers(const struct let_go *numbers, uint64_t number)
{
    return number >= numbers->base && number - numbers->base < LET_GO_NUMBERS;
}

uint64_t let_go_take_all(struct let_go *numbers)
{
    uint64_t taken = numbers->count;

    if (taken > 0)
        memset(numbers->words, 0, sizeof numbers->words);
    numbers->count = 0;
    return taken;
}

uint64_t let_go_take(struct let_go *numbers, uint64_t number)
{
    uint64_t before = numbers->count;

    if (number < numbers->base)
        return 0;
    if (!covers(numbers, number))
        let_go_take_all(numbers);
    while (numbers->count > 0 && numbers->base <= number) {
        bool whole = numbers->base % WORD == 0 && number - numbers->base >= WORD - 1;
        uint64_t *word = word_of(numbers, numbers->base);
        uint64_t bits = *word & (whole ? UINT64_MAX : bit_of(numbers->base));

        numbers->count -= (uint64_t)__builtin_popcountll(bits);
        *word &= ~bits;
        numbers->base += whole ? WORD : 1;
    }
    numbers->base = number + 1;
    return before - numbers->count;
}

uint64_t let_go_add(struct let_go *numbers, uint64_t number)
{
    uint64_t given_up = 0;

    if (number < numbers->base)
        return 1;
    if (!covers(numbers, number))
        given_up = let_go_take(numbers, number - LET_GO_NUMBERS);
    *word_of(numbers, number) |= bit_of(number);
    numbers->count++;
    return given_up;
}

bool let_go_take_one(struct let_go *numbers, uint64_t number)
{
    uint64_t *word = word_of(numbers, number);

    if (!covers(numbers, number) || !(*word & bit_of(number)))
        return false;
    *word &= ~bit_of(number);
    numbers->count--;
    return true;
}

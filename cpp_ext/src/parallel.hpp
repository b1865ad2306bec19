// Splitting a loop over a stated number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace clipgaze {

/// Calls `body(begin, end)` on disjoint ranges that cover [0, count), on at most `threads`
/// threads of which the caller's is one: with 1 no thread is created. Returns when all is done;
/// the first exception of a body is thrown again here.
void parallel_for(std::int64_t count, int threads,
                  const std::function<void(std::int64_t, std::int64_t)>& body);

}  // namespace clipgaze

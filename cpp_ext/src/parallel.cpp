#include "parallel.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace clipgaze {
namespace {

class JoiningThreads {
  public:
    JoiningThreads() = default;
    JoiningThreads(const JoiningThreads&) = delete;
    JoiningThreads& operator=(const JoiningThreads&) = delete;
    ~JoiningThreads() { join(); }

    void reserve(std::int64_t count) { threads_.reserve(static_cast<std::size_t>(count)); }

    template <class Function>
    void start(Function function) {
        threads_.emplace_back(function);
    }

    void join() {
        for (std::thread& thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }

  private:
    std::vector<std::thread> threads_;
};

}  // namespace

void parallel_for(std::int64_t count, int threads,
                  const std::function<void(std::int64_t, std::int64_t)>& body) {
    if (count <= 0) return;
    const std::int64_t parts = std::min<std::int64_t>(std::max(threads, 1), count);
    if (parts == 1) {
        body(0, count);
        return;
    }
    std::mutex mutex;
    std::exception_ptr failure;
    const auto run_part = [&](std::int64_t part) noexcept {
        try {
            body(count * part / parts, count * (part + 1) / parts);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex);
            if (!failure) failure = std::current_exception();
        }
    };
    {
        JoiningThreads workers;
        workers.reserve(parts - 1);
        for (std::int64_t part = 1; part < parts; ++part) {
            try {
                workers.start([&run_part, part] { run_part(part); });
            } catch (const std::system_error&) {
                run_part(part);  // the system gives no more threads: the caller does the work
            }
        }
        run_part(0);
        workers.join();
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace clipgaze

// A file of templates that keeps a compiler's allocator busy: regular
// expressions, containers of containers, variants with visitors, tuples, and
// code that the optimiser has to inline. SMALL leaves the first of them out.

#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

template <int n>
struct Tag {
  int value = n;
  std::string name = std::to_string(n);
  bool operator<(const Tag& other) const {
    return std::tie(value, name) < std::tie(other.value, other.name);
  }
};

template <typename T>
class Registry {
 public:
  void Add(T item, double weight) {
    by_name_[item.name].emplace_back(std::move(item), weight);
  }
  double Total() const {
    double sum = 0;
    for (const auto& [name, items] : by_name_) {
      sum += std::accumulate(
          items.begin(), items.end(), 0.0,
          [](double part, const auto& pair) { return part + pair.second; });
    }
    return sum;
  }
  std::set<T> Sorted() const {
    std::vector<std::pair<T, double>> all;
    for (const auto& [name, items] : by_name_)
      all.insert(all.end(), items.begin(), items.end());
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return a.second < b.second;
    });
    std::set<T> sorted;
    for (auto& [item, weight] : all) sorted.insert(std::move(item));
    return sorted;
  }

 private:
  std::unordered_map<std::string, std::vector<std::pair<T, double>>> by_name_;
};

template <int n>
int Use() {
  using Value = std::variant<int, std::string, Tag<n>, std::vector<Tag<n>>>;
  std::map<Tag<n>, std::optional<Value>> values;
  std::vector<std::function<int(const Value&)>> visitors;
  visitors.push_back([](const Value& value) {
    return std::visit(
        [](const auto& held) -> int {
          using Held = std::decay_t<decltype(held)>;
          if constexpr (std::is_same_v<Held, int>) return held;
          if constexpr (std::is_same_v<Held, std::string>)
            return static_cast<int>(held.size());
          if constexpr (std::is_same_v<Held, Tag<n>>) return held.value;
          if constexpr (std::is_same_v<Held, std::vector<Tag<n>>>)
            return held.empty() ? 0 : held.front().value;
        },
        value);
  });
  Registry<Tag<n>> registry;
  for (int i = 0; i < 3; i++) {
    Tag<n> tag;
    tag.value += i;
    registry.Add(tag, 1.5 * i);
    values[tag] = i % 2 == 0 ? Value(tag) : Value(std::vector<Tag<n>>{tag});
  }
  int sum = static_cast<int>(registry.Total() + registry.Sorted().size());
  for (const auto& [tag, value] : values) {
    for (const auto& visitor : visitors) sum += visitor(*value);
  }
  return sum;
}

int main() {
  int sum = Use<1>();
#ifndef SMALL
  const std::regex words("([a-z]+)-(\\d{2,4})(?:x|y)*");
  const std::string text = "alpha-12x beta-345yy gamma-6 delta-7890";
  for (std::sregex_iterator it(text.begin(), text.end(), words), end; it != end;
       ++it)
    sum += std::stoi((*it)[2]);
#endif
  std::cout << sum << '\n';
}

// Templates that keep a compiler's allocator busy: regular expressions, maps of
// maps, tuples.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

template <int n>
struct Chain {
  std::map<int,
           std::vector<std::tuple<int, std::string,
                                  std::variant<int, double, Chain<n - 1>*>>>>
      map;
  int Size() const {
    Chain<n - 1> next;
    return static_cast<int>(map.size()) + next.Size() + 1;
  }
};
template <>
struct Chain<0> {
  int Size() const { return 0; }
};

int main() {
  const std::regex words("([a-z]+)-(\\d{2,4})(?:x|y)*");
  std::string text = "alpha-12x beta-345yy gamma-6 delta-7890";
  std::unordered_map<std::string, std::map<int, std::shared_ptr<std::string>>>
      table;
  for (std::sregex_iterator it(text.begin(), text.end(), words), end; it != end;
       ++it) {
    table[(*it)[1]][std::stoi((*it)[2])] =
        std::make_shared<std::string>(it->str());
  }
  int sum = 0;
  for (const auto& [name, inner] : table) {
    for (const auto& [number, whole] : inner)
      sum += number + static_cast<int>(whole->size());
  }
  std::cout << sum << ' ' << Chain<15>().Size() << '\n';
}

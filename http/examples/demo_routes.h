// What the demo server answers.
#pragma once

#include "http/examples/files.h"
#include "weir/http/request.h"
#include "weir/http/response.h"

namespace weir::example {

//     GET|OPTIONS /           OK                POST /        the body it got
//     GET /hello              Hello, World!     POST /echo    the body it got
//     GET /pipeline           ok                GET /close    bye, and closes the connection
//     GET /chunked?n=&size=   n chunks of that size
//     GET|POST /sum?a=&b=     the sum of the query's values, and of the number in the body
//     GET /cookie             the cookies, one name=value a line
//     any method /headers     the fields of the request, one Name: Value a line
//     OPTIONS *               nothing
//
// HEAD works where GET does; OPTIONS on each of them says Allow, and so does the 405 for another
// method. Any other path is looked up below `root`, if there is one, and is else a 404.
class DemoRoutes {
 public:
  // `root` outlives it; null: no files.
  explicit DemoRoutes(const posix::Fd* root) : root_(root) {}
  void answer(http::Request& request, http::Response& response) const;

 private:
  const posix::Fd* root_;
};

}  // namespace weir::example
